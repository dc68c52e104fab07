-- Which installation this is.
SELECT id FROM installation
