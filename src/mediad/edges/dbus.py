"""Calls on the system D-Bus, with timeouts and typed failures.  One short-lived connection per
conversation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jeepney import DBusAddress, DBusErrorResponse, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.wrappers import unwrap_msg

from mediad.errors import DeviceError

DEFAULT_BUS = "unix:path=/run/dbus/system_bus_socket"


class DBusFailure(Exception):
    """The other side answered with an error.  ``name`` is the D-Bus error name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


@contextmanager
def system_bus(address: str | None = None) -> Iterator[DBusConnection]:
    """A connection to the system bus (or to ``address``); raises DeviceError if there is none."""
    try:
        connection = open_dbus_connection(bus=address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or DEFAULT_BUS)
    except (OSError, ValueError) as error:
        raise DeviceError(f"cannot reach the system D-Bus: {error}", hint="is dbus.service running?") from error
    try:
        yield connection
    finally:
        connection.close()


def call(
    connection: DBusConnection,
    address: DBusAddress,
    method: str,
    signature: str = "",
    arguments: tuple[object, ...] = (),
    *,
    timeout: float,
) -> tuple[Any, ...]:
    """Call and return the answer's values.  Raises DBusFailure, or DeviceError after ``timeout`` seconds."""
    message = new_method_call(address, method, signature or None, arguments)
    try:
        reply = connection.send_and_get_reply(message, timeout=timeout)
        return tuple(unwrap_msg(reply))
    except DBusErrorResponse as error:
        body = error.data[0] if isinstance(error.data, tuple) and error.data else ""
        raise DBusFailure(str(error.name), str(body)) from error
    except TimeoutError as error:
        raise DeviceError(f"{address.bus_name} did not answer {method} within {timeout:.0f} s") from error
    except OSError as error:
        raise DeviceError(f"lost the system D-Bus in {method}: {error}") from error


def get_property(connection: DBusConnection, address: DBusAddress, name: str, *, timeout: float) -> tuple[str, Any]:
    """A property as (signature, value)."""
    properties = DBusAddress(
        address.object_path, bus_name=address.bus_name, interface="org.freedesktop.DBus.Properties"
    )
    (variant,) = call(connection, properties, "Get", "ss", (address.interface or "", name), timeout=timeout)
    signature, value = variant
    return str(signature), value
