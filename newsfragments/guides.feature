The documentation has a tutorial and a guide for each family of classes, whose code is that of the tested examples, and a reference of every public name.
