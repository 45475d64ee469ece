"""Callers who leave while they are held.

A connection whose buffer is full is not read any more, so asyncio does not see its end. The
kernel does: an epoll set of our own, itself watched by the loop, tells of closed peers without
reading a byte.
"""

from __future__ import annotations

import asyncio
import select

from gateway.hold.held import Held


class Departures:
    """Ends held connections whose other side has closed."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._held: dict[int, Held] = {}
        self._numbers: dict[Held, int] = {}
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)

    def watch(self, held: Held) -> None:
        number = held.fileno()
        if number >= 0:
            self._held[number], self._numbers[held] = held, number
            self._epoll.register(number, select.EPOLLRDHUP | select.EPOLLHUP)

    def forget(self, held: Held) -> None:
        """This function will stop watching. A closed socket has left the set by itself."""
        number = self._numbers.pop(held, None)
        if number is not None:
            del self._held[number]
            if held.fileno() == number:
                self._epoll.unregister(number)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _look(self) -> None:
        for number, _ in self._epoll.poll(0):
            held = self._held[number]
            self.forget(held)
            held.drop()
