"""The devices and the link in time: programs in, a timeline out."""
