// Package scripts is the room of what keeps the project in order: check is the one entry that runs every check, lint
// holds those that are Go tests. Nothing imports it and it is in no program. Start at check.
package scripts
