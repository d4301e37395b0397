package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"mmfree/data/tokenizer"
	"mmfree/ternary/spec"
	"mmfree/train"
	"mmfree/train/recipes"
)

// recipeList is the result of mmfree recipes.
type recipeList struct {
	Recipes []recipeRow `json:"recipes"`
}

// recipeRow is one recipe. Parameters is nil where the text decides the size of the vocabulary, Arch too where both are
// those of the model that a run starts from.
type recipeRow struct {
	Name       string  `json:"name"`
	About      string  `json:"about"`
	Arch       *string `json:"arch"`
	Parameters *int64  `json:"parameters"`
	YAML       string  `json:"yaml,omitempty"` // when one recipe was asked for
}

func recipesVerb() *cli.Command {
	return &cli.Command{
		Name: "recipes", Usage: "list the built-in configurations, or print one as YAML",
		UsageText:   "mmfree recipes [NAME] [--json]",
		Description: "mmfree recipes quickstart",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 0, "NAME")
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return printRecipe(c, args[0])
			}
			return printRecipes(c)
		},
	}
}

func printRecipe(c *cli.Context, name string) error {
	r, err := recipes.Get(name)
	if err != nil {
		return err
	}
	if !c.Bool("json") {
		_, err := c.App.Writer.Write(r.YAML)
		return err
	}
	row, err := rowOf(r)
	if err != nil {
		return err
	}
	row.YAML = string(r.YAML)
	return printJSON(c.App.Writer, recipeList{Recipes: []recipeRow{row}})
}

func printRecipes(c *cli.Context) error {
	list, err := recipes.List()
	if err != nil {
		return err
	}
	var result recipeList
	for _, r := range list {
		row, err := rowOf(r)
		if err != nil {
			return err
		}
		result.Recipes = append(result.Recipes, row)
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, result)
	}
	return result.print(c.App.Writer)
}

func rowOf(r recipes.Recipe) (recipeRow, error) {
	config, err := r.Config()
	if err != nil {
		return recipeRow{}, err
	}
	row := recipeRow{Name: r.Name, About: r.About}
	if r.FromModel {
		return row, nil
	}
	row.Arch = &config.Model.Arch
	switch {
	case config.Model.VocabSize != 0:
	case config.Data.Tokenizer == train.TokenizerBytes:
		config.Model.VocabSize = tokenizer.Bytes{}.VocabSize()
	case config.Data.VocabSize != 0: // a text too short for so many gives a smaller model
		config.Model.VocabSize = config.Data.VocabSize
	default:
		return row, nil
	}
	all, _ := spec.Parameters(config.Model)
	row.Parameters = &all
	return row, nil
}

func (l *recipeList) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tARCH\tPARAMETERS\tABOUT")
	for _, r := range l.Recipes {
		arch, parameters := "by the model", "by the model"
		if r.Arch != nil {
			arch, parameters = *r.Arch, "by the text"
		}
		if r.Parameters != nil {
			parameters = strconv.FormatInt(*r.Parameters, 10)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Name, arch, parameters, r.About)
	}
	return t.Flush()
}
