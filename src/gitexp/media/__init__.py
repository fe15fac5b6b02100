"""Tables, figures, images, sound and mappings as the bytes of a file, in the format that the file's name asks for.

Libraries are used where the value comes from them; none is needed otherwise.
"""
