"""A module beside `main.py`, as integrations have them."""


def hello() -> str:
    return "hello"
