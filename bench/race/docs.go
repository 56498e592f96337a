package main

import "errors"

func writeDocs(root string) error { return errors.New("not yet " + root) }
