// Package config turns YAML into the values that the loop and its parts take.
//
// [Default] is what castoff does when nobody configures it. [Parse] puts a file
// over that, strictly: an unknown key, a value of the wrong type and a value
// that breaks a rule are all mistakes, and one [Error] reports every one of
// them with its line. A value that could not be read is never replaced by a
// guess.
//
// Anchors, aliases and tags are not read. A configuration is short enough to be
// written out, and without them its size bounds what it can make castoff do.
package config
