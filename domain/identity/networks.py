"""Networks: whom tries are counted for when all that is known is where they come from."""

import ipaddress

# The rest of an address its machine chooses for itself, anew as often as it likes. Source: RFC 4291, section 2.5.4.
_PREFIX_LENGTH = 64


def network_of(address: str) -> str:
    """The network of an address of IP version 6, one of version 4 as it is, and text that is neither too."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    # A socket that listens for both versions writes version 4 like this; all of them lie in one network of version 6.
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _PREFIX_LENGTH), strict=False))


def prefix_of(address: str) -> str | None:
    """So much of an address as tells the place and not the machine: 24 bits of version 4, 48 of version 6."""
    try:
        found = ipaddress.ip_address(network_of(address).partition("/")[0])
    except ValueError:
        return None
    return str(ipaddress.ip_network((found.packed, 24 if found.version == 4 else 48), strict=False))
