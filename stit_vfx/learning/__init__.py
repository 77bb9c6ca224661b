"""Directions of one's own: samples of a pack, labels, what separates them, and a pack that holds the result.

samples.py      a folder of samples: codes, pictures, a table to fill in
drawing.py      where samples come from: a generator's own faces, or pictures of faces
labels.py       what a person wrote in the table; measures.py what landmarks say without one
linear.py       hyperplanes and slopes in w and style space, and how well they separate
transformer.py  an affine map of the rows instead of one vector
learn.py        one direction from samples and labels, with everything that is known of it
saving.py       into a pack, whole or not at all
sheet.py        strengths by samples, to look at
"""
