"""A custom actor that subscribes to the event stream and posts finished runs to a chat."""

import logging

import requests

from ocean_actors import Actor, RunEnded, handles

logger = logging.getLogger(__name__)

TIMEOUT = 5.0


class ChatNotifier(Actor):
    """Posts `{"text": …}` to a webhook address, as Slack and similar services accept it.

    If the chat cannot be reached, it logs a warning; runs are not affected.
    """

    subscribes_to = (RunEnded,)

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    @handles(RunEnded)
    def on_run_ended(self, event: RunEnded) -> None:
        try:
            requests.post(
                self.url, json={"text": summary(event)}, timeout=TIMEOUT
            ).raise_for_status()
        except requests.RequestException as error:
            # Not the text of the error: it contains the address, which is a secret.
            answer = error.response
            why = type(error).__name__ if answer is None else f"status {answer.status_code}"
            logger.warning("run %s was not posted: %s", event.run.id, why)


def summary(event: RunEnded) -> str:
    """Returns one line about a run."""
    seconds = (event.ended_at - event.run.started_at).total_seconds()
    line = f"Resync {event.run.id} ({event.run.reason}) {event.status} after {seconds:.1f} s"
    return "; ".join((f"{line}: {event.written.upserted} entities", *event.failures))
