// Package recipes holds the built-in configurations, each a YAML file that states only what differs from
// train.Default(). The first line of a file is a comment: what the recipe is for.
//
// In: a name. Out: the YAML, and through train.ParseConfig a train.Config. May not enter: values computed in code; a
// recipe is what its file says. Start at recipes.go, whose table gives the order in which people see them.
package recipes
