"""zdsim: what does this deployment do to the people who use the service while it happens?"""

__version__ = "0.1.0"
