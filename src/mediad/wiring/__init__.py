"""The composition root: the only floor that knows all names. Heavy parts are imported where they are used."""
