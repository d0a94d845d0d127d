"""The embedded broker: kombu's files, with what is half written passed over.

A reader of kombu's own may meet a file that its writer has just opened, or that a kill left cut
off, and the worker ends of it. Here a message appears whole, and what cannot be read is no message
and no binding: bells may be lost without harm.
"""

import logging
import os
import uuid
from pathlib import Path
from queue import Empty
from time import monotonic_ns
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps

log = logging.getLogger(__name__)


class Channel(filesystem.Channel):  # type: ignore[misc]
    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        name = f"{monotonic_ns()}_{uuid.uuid4()}.{queue}.msg"  # as kombu names it
        aside = Path(self.data_folder_out) / f"{name}.new"
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(dumps(payload))
        os.replace(aside, aside.with_suffix(""))

    def _get(self, queue: str) -> Any:
        while True:
            try:
                message = super()._get(queue)
                self.Message(message, channel=self).delivery_info["routing_key"]
            except (Empty, ChannelError):
                raise
            except FileNotFoundError:  # somebody removed the folder
                raise Empty from None
            except Exception as error:  # whatever else a file may hold
                log.warning("a message of queue %s cannot be read and is gone: %r", queue, error)
            else:
                return message

    def get_table(self, exchange: str) -> Any:
        try:
            return super().get_table(exchange)
        except ValueError:
            return []

    def _queue_bind(self, exchange: str, *binding: str) -> None:
        Path(self.control_folder).mkdir(parents=True, exist_ok=True)
        try:
            super()._queue_bind(exchange, *binding)
        except ValueError:
            self._exchange_file(exchange).unlink(missing_ok=True)
            super()._queue_bind(exchange, *binding)


class Transport(filesystem.Transport):  # type: ignore[misc]
    Channel = Channel
