"""What differs between two versions of one artifact, by what is in them: images, tables, text, sound, arrays."""
