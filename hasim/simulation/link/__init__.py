"""The wireless link: traffic, radios, codecs, losses."""
