"""What one ear gets of the other's signal: coded as sent, missing where lost or late, concealed as configured."""

from __future__ import annotations


class Exchange:
    """To be written."""
