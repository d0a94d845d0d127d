"""The review desk under load: "next" and "submit" over HTTP, with 100,000 rewrites queued.

Each figure is the worse of two: one new person, and one who has reviewed half of the rewrites.
Beside them ten people at once, each thinking for a moment between two rewrites.
"""

import http.client
import json
import random
import threading
import time
from typing import Any

from bench import surroundings

ITEMS, HALF, OVERLAP = 100_000, 50_000, 2
ROUNDS, WARM_UP = 300, 20
PEOPLE, ROUNDS_EACH, THINKING = 10, 40, (0.5, 1.5)


def measure() -> dict[str, Any]:
    """Both figures, the same for ten people, and every situation's own."""
    with surroundings.database():
        from bench import review_rows

        stage = review_rows.fill(ITEMS, overlap=OVERLAP)
        project = stage.run.project
        half = review_rows.person(project, "half")
        review_rows.has_reviewed(stage, half, HALF)
        new, *others = [review_rows.person(project, f"p{i}") for i in range(PEOPLE + 1)]
        keys = [review_rows.key_of(user) for user in others]
        cookie = review_rows.session_of(new)
        with surroundings.web() as port:
            situations = {
                "new": _alone(port, review_rows.key_of(new)),
                "half_reviewed": _alone(port, review_rows.key_of(half)),
                "ten_at_once": _together(port, keys),
            }
            page = _page(port, cookie)
    ten = situations["ten_at_once"]
    worse = {
        what: max(situations[who][f"{what}_p95_ms"] for who in ("new", "half_reviewed"))
        for what in ("next", "submit")
    }
    return {
        "review_next_p95_ms": worse["next"],
        "review_submit_p95_ms": worse["submit"],
        "review_next_ten_people_p95_ms": ten["next_p95_ms"],
        "review_submit_ten_people_p95_ms": ten["submit_p95_ms"],
        "review_page_p95_ms": page,
        "review": {"items": ITEMS, "overlap": OVERLAP, "situations": situations},
    }


class Person:
    """One reviewer with one connection; times of each request in seconds."""

    def __init__(self, port: int, key: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.times: dict[str, list[float]] = {"next": [], "submit": []}

    def review(self, *, note: bool = True) -> None:
        """Take the next rewrite and approve it."""
        item = self._post("next", "/projects/bench/review/next", {}, note)["item"]
        body = {"decision": "approve", "lease": item["lease"], "ratings": {"natural": 4}}
        self._post("submit", f"/review-items/{item['id']}/review", body, note)

    def _post(self, what: str, path: str, body: dict[str, Any], note: bool) -> Any:
        text = json.dumps(body)
        start = time.perf_counter()
        self.connection.request("POST", f"/api/v1{path}", text, self.headers)
        response = self.connection.getresponse()
        content = response.read()
        if note:
            self.times[what].append(time.perf_counter() - start)
        assert response.status == 200, content[:500]
        return json.loads(content)


def _alone(port: int, key: str) -> dict[str, float]:
    person = Person(port, key)
    for i in range(WARM_UP + ROUNDS):
        person.review(note=i >= WARM_UP)
    return _figures([person])


def _together(port: int, keys: list[str]) -> dict[str, float]:
    people = [Person(port, key) for key in keys]

    def work(person: Person, seed: int) -> None:
        pause = random.Random(seed)
        for i in range(ROUNDS_EACH + 2):
            time.sleep(pause.uniform(*THINKING))
            person.review(note=i >= 2)

    threads = [threading.Thread(target=work, args=(p, i)) for i, p in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = _figures(people)
    assert found["n"] == PEOPLE * ROUNDS_EACH, "a reviewer failed"
    return found


def _page(port: int, cookie: str) -> float:
    """The page with the next rewrite, whole, at the 95th percentile."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        connection.request(
            "GET", "/projects/bench/review/", headers={"Cookie": f"sessionid={cookie}"}
        )
        response = connection.getresponse()
        response.read()
        times.append(time.perf_counter() - start)
        assert response.status == 200, response.status
    return _p95(times)


def _figures(people: list[Person]) -> dict[str, float]:
    times = {what: [t for p in people for t in p.times[what]] for what in ("next", "submit")}
    found: dict[str, float] = {"n": len(times["submit"])}
    for what, values in times.items():
        found[f"{what}_p50_ms"] = round(sorted(values)[len(values) // 2] * 1000, 2)
        found[f"{what}_p95_ms"] = _p95(values)
    return found


def _p95(seconds: list[float]) -> float:
    """The smallest time that 95 % of the requests took at most, in milliseconds."""
    ordered = sorted(seconds)
    return round(ordered[-(-95 * len(ordered) // 100) - 1] * 1000, 2)
