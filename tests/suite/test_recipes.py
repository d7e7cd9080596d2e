"""Recipes: what those say that pilot runs choose from."""

from lightlayers.suite import recipes


def test_a_tuned_recipe_changes_what_its_name_says():
    names = list(recipes.TUNED)
    assert names[0] == "corrected" and len(names) == 12
    assert recipes.get("corrected") == recipes.CORRECTED
    usual = recipes.CORRECTED.schedule("cifar10").learning_rate
    for name, l2, factor in (
        ("corrected-l2-1e-4", 1e-4, 1),
        ("corrected-rate-0.5x", 0, 0.5),
        ("corrected-l2-1e-2-rate-2x", 1e-2, 2),
    ):
        recipe = recipes.get(name)
        assert (recipe.name, recipe.l2) == (name, l2)
        assert recipe.schedule("cifar10").learning_rate == factor * usual
        same = {"name": "corrected", "l2": 0.0, "schedules": recipes.CORRECTED.schedules}
        assert vars(recipe) | same == vars(recipes.CORRECTED)


def test_a_penalty_is_described_only_where_there_is_one():
    assert "l2" not in recipes.describe("corrected", "digits").index
    table = recipes.describe(["corrected", "corrected-l2-1e-3"], "digits")
    assert list(table.index) == ["l2"]
