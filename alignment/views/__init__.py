"""Pages. A view asks for a permission and for one service or query, and renders one template."""
