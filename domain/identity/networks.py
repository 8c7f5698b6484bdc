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
