"""The losses of the field, one small module each, with its formula and source.

Each takes the network's embeddings of a batch and the people's numbers, and gives an ``Outcome``:
the loss, and what it looked at. Those without parameters are frozen dataclasses of settings that can
be called; those with class weights, centres or heads are modules. ``trainer.recipes`` lists them.
"""
