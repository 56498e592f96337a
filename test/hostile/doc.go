// Package hostile holds the catalogue of bad input: what is sent to a node that no honest client, disk or operator sends, what must
// happen, and the test that shows it.
//
// The table is in catalogue_test.go. Its rows have fixed numbers, with gaps, and TestCatalogue prints them all. A row of what is served
// must name a test, here or in the package whose business it is, and a row that waits for something says what it waits for: once that
// is served, the row fails until it has its test. The package never times anything; what must not grow is measured in bytes.
package hostile
