"""What lives in the simulated world besides requests? Clock, API objects, controllers, pods, faults, journal."""
