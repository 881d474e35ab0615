"""Files on disk and at URLs: reading with a cap, writing atomically and durably.

It knows no format and no setting, and any folder may import it.
"""
