"""Messages that a broker may hold and that say nothing a bell says."""

import json
from base64 import b64encode

HEADERS = {"task": "workers.help", "id": "1", "lang": "py", "argsrepr": "", "kwargsrepr": ""}
PROPERTIES = {"delivery_tag": "1", "delivery_mode": 2, "delivery_info": {"routing_key": "gpu"}}


def lie(body: object, **changes: object) -> dict[str, object]:
    """A message in whole that says something no bell says."""
    content = b64encode(json.dumps(body).encode()).decode()
    envelope = {"body": content, "content-type": "application/json", "headers": HEADERS}
    properties = {**PROPERTIES, "body_encoding": "base64"}
    return {**envelope, "content-encoding": "utf-8", "properties": properties, **changes}


LIES = [
    lie([1, 2]),
    lie("text"),
    lie([["x"], {}, {}]),
    lie([[1], {}, {}], headers=None),
    lie([[1], {}, {}], headers={**HEADERS, "task": ["a", "list"]}),
    lie([[1], {}, {}], headers={**HEADERS, "task": "no.such.task"}),
    lie([[1], {}, {}], headers={**HEADERS, "eta": "never"}),
    lie([[1], {}, {}], properties=None),
    lie([[1], {}, {}], properties={}),
    lie([[1], {}, {}], **{"content-type": "application/x-python-serialize"}),
]
