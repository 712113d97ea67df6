"""mediad: the daemon of a docking station for body cameras and other evidence media."""

__version__ = "0.1.0"
