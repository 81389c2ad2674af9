"""What the tests of the primitives share with those of the core."""

from tests.core.conftest import peer_of, place_of_its_own

__all__ = ["peer_of", "place_of_its_own"]
