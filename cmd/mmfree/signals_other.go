//go:build !unix

package main

func ignoreWriteSignals() {}
