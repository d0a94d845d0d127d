"""What the views that give CSV share."""

from django.http import HttpResponse


def csv_file(name: str) -> HttpResponse:
    """An empty CSV file of a name, to write rows to."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def text_cell(value: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
