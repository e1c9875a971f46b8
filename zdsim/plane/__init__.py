"""What do both request planes share? Vocabulary, luck, laws, traffic, configuration, records; never behaviour.

The behaviour is written down in ``MODEL.md`` beside this file and built twice, by different hands:
``zdsim.reference`` (SimPy, to be read) and ``zdsim.kernel`` (Numba, to be fast). They must agree bit for bit.
"""
