"""A run of `gelda compare` on every page, and the form that starts one."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import open_page, text, warnings

from app import charts, comparison, comparison_charts, form
from app.palette import THEMES
from gelda import card, jobs, map_jobs, projection, report, verdicts
from gelda.augmenters import AUGMENTERS, KINDS
from gelda.compare_config import resolve_compare
from gelda.errors import UserError
from gelda.neighbours import load_neighbours

RUN = fixtures.COMPARISON
pytestmark = pytest.mark.usefixtures("workspace")


def table(page: AppTest) -> str:
    """The table of all methods."""
    return next(e.proto.body for e in page.get("html") if "percent, mean over seeds" in e.proto.body)


def rows(page: AppTest) -> list[str]:
    """First cell of every method's row."""
    return [html.unescape(t) for t in re.findall(r"<tr(?: class=\"own\")?><td>(.*?)</td>", table(page))]


def press_compare(page: AppTest) -> AppTest:
    return next(b for b in page.button if b.label == "Compare").click()


def edited(path: Path, change) -> dict:
    file = path / "report.json"
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))
    return found


def test_home_lists_a_comparison_with_what_it_is(workspace: Path) -> None:
    fixtures.make_comparison(workspace)
    fixtures.make_comparison(
        workspace, "compare-b", protocol="zero-shot", target="night", keep="ant", unlabelled=True
    )
    page = open_page("home")
    assert not warnings(page)
    said = text(page)
    assert "comparison of methods on pets: long tail over classes, imbalance 100, 5 seeds" in said
    assert "zero-shot, night keeps ant only, transductive, 5 seeds" in said
    assert "GeLDA is" in said, "with nothing else to show, the comparison is the first thing to see"


def test_home_shows_a_run_with_a_map_unless_a_comparison_is_asked_for(workspace: Path) -> None:
    fixtures.make_comparison(workspace)
    fixtures.make_run(workspace)
    assert "open diamonds are synthetic" in text(open_page("home"))
    assert "open diamonds are synthetic" not in text(open_page("home", run=RUN))


def test_a_comparison_without_points_is_offered_them(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures.make_run(workspace)
    fixtures.make_comparison(workspace)
    asked = []
    monkeypatch.setattr(jobs, "resume", lambda run: asked.append(run))
    page = open_page("explore", run=RUN)
    assert page.title[0].value == "This comparison keeps no points yet"
    assert page.selectbox(key="run").value == RUN and not warnings(page)
    page.button[0].click().run()
    assert asked == [RUN]
    page.selectbox(key="run").set_value(fixtures.RUN).run()
    assert "8 of 50 cells" in page.title[0].value
    page = open_page("explore")
    assert page.selectbox(key="run").value == fixtures.RUN, (
        "without points it is no default of the map's page"
    )
    monkeypatch.setenv("GELDA_READONLY", "1")
    assert not open_page("explore", run=RUN).button


def test_explore_shows_a_comparison_without_its_test_items(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace, points=True)
    points = projection.load_points(path)
    page = open_page("explore", run=RUN)
    assert not warnings(page)
    assert (
        page.title[0].value == "2 of 6 cells hold no training sample; 8 synthetic latents stand in for them"
    )
    train, test = ((points["split"] == split).sum() for split in ("train", "test"))
    gelda = (points["method"] == "gelda").sum()
    assert test and f"{train + gelda} of {len(points) - test} points drawn. Seed 0." in text(page)
    assert "condition" not in text(page) and page.multiselect(key="conditions").label == "Subdomains"
    page.toggle(key="held").set_value(True).run()
    assert f"{train + test + gelda} of {len(points)} points drawn" in text(page)
    assert page.query_params["held"] == "True"
    page.button_group(key="made").set_value(["gelda-paper"]).run()
    paper = (points["method"] == "gelda-paper").sum()
    assert paper != gelda and f"{train + test + paper} of {len(points)} points drawn" in text(page)


def test_a_comparison_s_missing_map_is_offered(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixtures.make_comparison(workspace, points=True)
    asked = []
    monkeypatch.setattr(map_jobs, "start_projections", lambda *a: asked.append(a))
    page = open_page("explore", run=RUN, scope="subdomain:night")
    assert "Subdomain night, Encoder pool: no map has been made yet" in text(page)
    next(b for b in page.button if b.label.startswith("Make this map")).click().run()
    assert [a[:2] for a in asked] == [(RUN, [("pool", "subdomain", "night")])]


def test_selected_points_of_a_comparison_name_their_subdomain(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace, points=True)
    points = projection.load_points(path)
    from app.state import Selection

    page = open_page("explore", run=RUN)
    rows = [0, int(np.flatnonzero(points["origin"] == "synthetic")[0])]
    page.session_state["_selection"] = Selection(RUN, rows, "lasso")
    page.run()
    found = page.dataframe[0].value
    shown = points.iloc[rows[::-1]]  # what was made stands first
    assert found["subdomain"].tolist() == [fixtures.PLACES[s] for s in shown["subdomain"]]
    assert found["nearest real"].iloc[0] != "" and not warnings(page)
    assert "1 real, 1 synthetic" in text(page)


def selecting(rows: list[int]) -> AppTest:
    """Explore with these rows of the comparison selected."""
    from app.state import Selection

    page = open_page("explore", run=RUN)
    page.session_state["_selection"] = Selection(RUN, rows, "lasso")
    return page.run()


def test_selected_images_are_shown_and_nearest_ones_stand_in(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace, points=True, media="image")
    made = int(np.flatnonzero(projection.load_points(path)["method"] == "gelda")[0])
    page = selecting([0, 1, made])
    assert not warnings(page)
    assert text(page).count('src="data:image/webp') == 3 and text(page).count('<figure class="made">') == 1
    assert "near a latent for bee, night" in text(page) and "ant, day" in text(page)
    page = selecting([made])
    near = load_neighbours(path)[0][made]
    assert text(page).count('<figure class="made">') == (near >= 0).sum()
    said = "Synthetic latent for <em>bee</em> in <em>night</em>, made by GeLDA; its nearest real images"
    assert said in text(page)


def test_selected_clips_play(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace, points=True, media="audio")
    made = int(np.flatnonzero(projection.load_points(path)["method"] == "gelda")[0])
    page = selecting([0, made])
    assert not warnings(page) and len(page.get("audio")) == 2
    assert "the real clip that is nearest" in text(page)
    assert len(selecting(list(range(20))).get("audio")) == 8


def test_a_file_that_is_gone_is_a_sentence_in_its_place(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fixtures.make_comparison(workspace, points=True, media="audio")
    (workspace / "files" / projection.load_points(path)["uri"][0]).unlink()
    page = selecting([0, 1])
    assert not warnings(page) and len(page.get("audio")) == 1
    assert text(page).count('<p class="missing">') == 1 and "cannot be read (No such file" in text(page)


def test_results_hold_every_method_by_kind(workspace: Path) -> None:
    fixtures.make_comparison(workspace)
    page = open_page("results", run=RUN)
    assert not warnings(page)
    assert rows(page) == [
        report.METHOD_TITLES[m] for kind in KINDS for m in AUGMENTERS if AUGMENTERS[m].kind == kind
    ]
    for kind in KINDS:
        assert f">{kind.capitalize()}</th>" in table(page)
    assert "GeLDA is ahead of every baseline on the rare classes" == page.title[0].value
    assert [b.label for b in page.get("download_button")] == ["CSV", "Markdown", "LaTeX", "JSON", "Card"]


def test_methods_sort_by_the_measure(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace)
    page = open_page("results", run=RUN, order="best", measure="overall")
    found = report.load_report(path)["methods"]
    wanted = sorted(found, key=lambda m: found[m]["overall"]["mean"], reverse=True)
    assert rows(page)[0] == "GeLDA"
    means = {report.METHOD_TITLES[m]: found[m]["overall"]["mean"] for m in wanted}
    assert [means[t] for t in rows(page)] == sorted(means.values(), reverse=True)
    assert page.query_params["order"] == "best"


@pytest.mark.parametrize(
    ("pair", "title"),
    [
        ((1.0, -2.0, 4.0), "GeLDA is inside the interval of the best baseline on the rare classes"),
        ((-3.0, -5.0, -1.0), "GeLDA is behind {best} by 3.0 points on the rare classes"),
    ],
)
def test_the_verdict_is_as_modest_as_the_interval(pair, title, workspace: Path) -> None:
    path = fixtures.make_comparison(workspace)
    best = verdicts.verdict(report.load_report(path), "tail").best

    def change(found: dict) -> None:
        found["paired"][best]["tail"] = {"mean": pair[0], "ci95": list(pair[1:])}

    edited(path, change)
    page = open_page("results", run=RUN)
    assert page.title[0].value == title.format(best=report.METHOD_TITLES[best])
    assert "ahead of every baseline;" not in text(page).split("<table")[0].split("UAR, GeLDA")[0]


def test_a_measure_of_few_test_groups_is_shown_and_never_counted(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace)
    page = open_page("results", run=RUN)
    assert "not counted" not in page.title[0].value and "<b>" in table(page)

    def change(found: dict) -> None:
        for figures in (*found["methods"].values(), *found["paired"].values()):
            figures["tail"]["groups"] = 2

    edited(path, change)
    page = open_page("results", run=RUN)
    assert page.title[0].value.endswith(": shown, not counted")
    assert "fewer than 8 test groups on the rare classes." in text(page)
    assert "<b>" not in table(page), "the column of differences is of the tail"
    assert "<b>" in table(open_page("results", run=RUN, measure="overall"))
    assert any("Shown and not counted" in line for line in card.limits(report.load_report(path)))


def test_few_test_groups_are_shown_and_never_counted(workspace: Path) -> None:
    fixtures.make_comparison(workspace, countable=False)
    page = open_page("results", run=RUN)
    assert page.title[0].value.endswith(": shown, not counted")
    assert "fewer than 8 test groups" in text(page)
    assert 'class="best"' not in table(page)


def test_the_best_is_marked_where_the_intervals_allow_it(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace)
    own = re.search(r'<tr class="own">.*?</tr>', table(open_page("results", run=RUN))).group()
    assert 'class="best"' in own

    def change(found: dict) -> None:
        for measures in [*found["paired"].values(), *found["methods"].values()]:
            for value in measures.values():
                value["ci95"] = [-100.0, 100.0]

    edited(path, change)
    assert 'class="best"' not in table(open_page("results", run=RUN))


def test_choices_scores_controls_and_the_other_loss_are_there(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace)
    page = open_page("results", run=RUN)
    said = text(page)
    assert "form residual, weight 0.3" in said and "<td class=wrap>pool</td><td class=wrap>1.5</td>" in said
    assert said.count('<td class="best">1.100</td>') == 1 and '<td class="best">1.060</td>' in said
    assert "GeLDA − without semantics" in said and "GeLDA − shuffled semantics" in said
    other = report.load_report(path)["under_other_loss"]["smote"]["tail"]["mean"]
    smote = re.search(r"<td>SMOTE</td>.*?</tr>", table(page)).group()
    assert smote.endswith(f"<td>{other:.1f}</td></tr>")
    head = re.search(r"<thead>.*?</thead>", table(page)).group()
    assert head.endswith("<th>GeLDA − method</th><th>other loss</th></tr></thead>")
    assert "Other loss: Rare classes (tail) of the same arm trained with cross-entropy" in said
    page.selectbox(key="tuned").set_value("layer").run()
    assert "<td>pool, τ 1.5</td>" in text(page) and not warnings(page)


@pytest.mark.parametrize("protocol", ["zero-shot", "few-shot"])
def test_a_transfer_has_its_own_measures(protocol: str, workspace: Path) -> None:
    fixtures.make_comparison(workspace, protocol=protocol, target="night", keep="ant" * (protocol[0] == "z"))
    page = open_page("results", run=RUN)
    assert not warnings(page)
    assert page.title[0].value.endswith("on UAR")
    assert "Rare classes" not in table(page)
    assert ("Cells never seen" in table(page)) == (protocol == "zero-shot")
    assert "in tail" not in text(page), "the scarce cells are all that a transfer tests"
    said = text(page)
    assert "Fold by fold in night" in said and "Speaker-independent, checked" in said
    assert "41.5<br><small>41.0 to 42.0</small>" in said, "the folds' mean UAR, lowest and highest"
    assert "seed 4, fold 2<br><small>5 groups, 45 items</small>" in said


def test_a_comparison_without_gelda_is_a_table(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace)

    def change(found: dict) -> None:
        found["methods"] = {m: v for m, v in found["methods"].items() if not m.startswith("gelda")}
        found["paired"], found["config"]["selection"] = {}, {}
        found["paired_to_la"] = {m: v for m, v in found["paired_to_la"].items() if not m.startswith("gelda")}

    edited(path, change)
    page = open_page("results", run=RUN)
    assert not warnings(page)
    baselines = [m for m in AUGMENTERS if not m.startswith("gelda")]
    assert page.title[0].value == f"{len(baselines)} methods on the same latents"
    assert len(rows(page)) == len(baselines)


def test_one_seed_has_no_verdict(workspace: Path) -> None:
    fixtures.make_comparison(workspace, seeds=1)
    page = open_page("results", run=RUN)
    assert not warnings(page)
    assert page.title[0].value == "GeLDA on the rare classes: one seed allows no verdict"


def test_an_interrupted_comparison_resumes_from_home(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures.make_comparison(workspace, status="interrupted")
    asked = []
    monkeypatch.setattr(jobs, "resume", lambda run: asked.append(run))
    page = open_page("home")
    page.button(key=f"resume-{RUN}").click().run()
    assert asked == [RUN]
    monkeypatch.undo()
    monkeypatch.setenv("GELDA_HOME", str(workspace))
    page = open_page("home")
    page.button(key=f"resume-{RUN}").click().run()
    assert any("There is no bank at /data/pets.npz" in w for w in warnings(page))


def test_a_new_comparison_starts_from_its_form(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(jobs, "start_comparison", lambda values, _: started.append(values))
    page = open_page("generate", preset="own")
    page.text_input(key="generate.path").set_value(" /data/pets.npz ").run()
    assert page.query_params["bank"] == "/data/pets.npz", "a link opens the form on the same latents"
    page.segmented_control(key="compare-/data/pets.npz.protocol").set_value("zero-shot").run()
    page.text_input(key="compare-/data/pets.npz.target").set_value("night")
    page.text_input(key="compare-/data/pets.npz.keep").set_value("ant")
    page.toggle(key="compare-/data/pets.npz.unlabelled").set_value(True)
    page.number_input(key="compare-/data/pets.npz.seeds").set_value(7)
    press_compare(page).run()
    assert started == [
        {"bank": "/data/pets.npz", "protocol": "zero-shot", "target": "night", "keep": "ant",
         "unlabelled": True, "seeds": 7}
    ]  # fmt: skip

    def refuse(values: dict, effort: str) -> None:
        raise UserError("There is no subdomain called 'nigth'.")

    monkeypatch.setattr(jobs, "start_comparison", refuse)
    press_compare(page).run()
    assert warnings(page) == ["There is no subdomain called 'nigth'."]


def test_expert_settings_are_those_that_a_comparison_reads() -> None:
    names = form.expert_fields()
    assert {"generator.form", "adapter.head", "adapter.class_start", "adapter.adversarial", "adapter_layer",
            "sampling.conditions", "shot_borders", "methods"} <= set(names)  # fmt: skip
    assert not {"seeds", "target", "adapter.low_rank", "sampling.weight", "bank", "adapter"} & set(names)
    assert len(set(names)) == len(names)


def test_every_expert_setting_has_a_widget_that_changes_nothing_by_itself(monkeypatch) -> None:
    started = []
    monkeypatch.setattr(jobs, "start_comparison", lambda values, _: started.append(values))
    page = open_page("generate", preset="own", bank="x.npz")
    page.multiselect(key="compare-x.npz.expert").set_value(form.expert_fields()).run()
    assert not page.exception and not warnings(page)
    press_compare(page).run()
    assert started == [{"bank": "x.npz", "protocol": "longtail"}]


def test_expert_settings_reach_the_comparison_and_wrong_ones_are_a_sentence(monkeypatch) -> None:
    started = []
    monkeypatch.setattr(jobs, "start_comparison", lambda values, _: started.append(values))
    page = open_page("generate", preset="own", bank="x.npz")
    chosen = ["adapter.head", "adapter_layer", "taus", "sampling.conditions", "sampling.recipe_strength",
              "methods", "shot_borders"]  # fmt: skip
    page.multiselect(key="compare-x.npz.expert").set_value(chosen).run()
    page.selectbox(key="compare-x.npz.adapter.head").set_value("cosine")
    page.text_input(key="compare-x.npz.adapter_layer").set_value("auto")
    page.text_input(key="compare-x.npz.taus").set_value("1, 1.5")
    page.text_area(key="compare-x.npz.sampling.conditions").set_value("a in x = b in x\n\nb in x = a in x\n")
    page.text_input(key="compare-x.npz.sampling.recipe_strength").set_value("0.5")
    page.multiselect(key="compare-x.npz.methods").set_value(["ce", "gelda"])
    page.text_input(key="compare-x.npz.shot_borders").set_value("21, 99").run()
    assert not warnings(page)
    press_compare(page).run()
    assert started == [
        {"bank": "x.npz", "protocol": "longtail", "adapter": {"head": "cosine"}, "adapter_layer": "auto",
         "taus": (1, 1.5), "methods": ("ce", "gelda"), "shot_borders": (21, 99),
         "sampling": {"conditions": ("a in x = b in x", "b in x = a in x"), "recipe_strength": 0.5}}
    ]  # fmt: skip
    config = resolve_compare(started[0])
    assert config.adapter.head == "cosine" and config.sampling.recipe_strength == 0.5
    page.text_input(key="compare-x.npz.taus").set_value("1, much").run()
    assert warnings(page) and "'taus.1' is 'much'" in warnings(page)[0]
    assert not any(b.label == "Compare" for b in page.button)
    page.text_input(key="compare-x.npz.taus").set_value("1")
    page.text_area(key="compare-x.npz.sampling.conditions").set_value("a in x").run()
    assert "sampling.conditions 'a in x': write" in warnings(page)[0]


@pytest.mark.parametrize("theme", list(THEMES))
def test_the_forest_has_a_row_a_method_and_ends_at_a_hundred(theme: str) -> None:
    frame = pd.DataFrame(
        [
            ("losses", "ce", "CE", 9.0, 6.0, 12.0),
            ("losses", "focal", "Focal", 1.0, -140.0, 142.0),
            ("mixing", "mixup", "Mixup", -4.0, -5.0, -3.0),
        ],
        columns=["kind", "method", "title", "mean", "low", "high"],
    )
    figure = comparison_charts.differences(frame, theme, "t")
    assert list(figure.layout.yaxis.ticktext) == ["<b>Losses</b>", "CE", "Focal", "<b>Mixing</b>", "Mixup"]
    assert list(figure.layout.xaxis.range) == [-100.0, 100.0]
    ahead, behind, inside = figure.data
    assert (list(ahead.y), list(behind.y), list(inside.y)) == ([1], [4], [2])
    assert inside.marker.color == THEMES[theme].paper and ahead.marker.color == THEMES[theme].accent
    assert "−140.0 to +142.0, inside" in inside.customdata[0][1], "the axis is cut, the number is not"
    alone = comparison_charts.differences(frame.assign(low=np.nan, high=np.nan), theme, "t")
    low, high = alone.layout.xaxis.range
    assert low < -4 < 9 < high and list(alone.data[2].y) == [1, 2, 4]
    assert (
        alone.data[2].customdata[0][1] == "+9.0 points<br>no interval"
        and "one seed" in alone.layout.title.subtitle.text
    )
    assert charts.bounds(frame[frame["method"] == "ce"])[0] < 0 < 12 < charts.bounds(frame)[1]


def test_the_protocol_in_words() -> None:
    assert comparison.what({"protocol": "longtail", "cut": "cell", "imbalance": 50.0, "seeds": 1}) == (
        "long tail over cells, imbalance 50, 1 seed"
    )
    assert comparison.what({"protocol": "longtail", "cut": "given", "imbalance": 100.0, "seeds": 5}) == (
        "long tail as the data have it, 5 seeds"
    )
    assert comparison.what({"protocol": "few-shot", "target": "night", "shots": 5, "seeds": 5}) == (
        "few-shot, night has 5 items a class, 5 seeds"
    )
    assert np.isnan(verdicts.interval(None).mean)


def test_a_paper_form_that_is_ahead_is_in_the_title(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace)
    assert "paper’s form is ahead" not in open_page("results", run=RUN).title[0].value

    def change(found: dict) -> None:
        found["paired"]["gelda-paper"]["tail"] = {"mean": -3.0, "ci95": [-5.0, -1.0], "seeds": []}

    edited(path, change)
    page = open_page("results", run=RUN)
    assert "; the paper’s form is ahead of it" in page.title[0].value and not warnings(page)


SYNTHETIC = "This is synthetic speech (espeak-ng): <figures> say nothing about people."


def test_what_must_be_known_of_the_data_stands_by_every_figure_and_clip(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace, points=True, media="audio")
    edited(path, lambda report: report.update(caution=SYNTHETIC))
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps({**meta, "caution": SYNTHETIC}))
    results, explore = (open_page(name, run=RUN, panel="neighbours") for name in ("results", "explore"))
    for page in (results, explore):
        said = [e.proto.body for e in page.get("html") if "synthetic speech" in e.proto.body]
        assert len(said) == 2, "above the figures or the map, and beside the clips"
        assert all(html.escape(SYNTHETIC) in body for body in said)


def test_geldas_own_form_beside_the_papers(workspace: Path) -> None:
    """Where validation gives GeLDA what the paper has, no difference of two equal arms is shown as found."""
    path = fixtures.make_comparison(workspace)
    page = open_page("results", run=RUN)
    assert "the two are one method" not in text(page) and "What the semantics add" in text(page)

    def alike(report: dict) -> None:
        report["methods"][comparison.PAPER] = report["methods"]["gelda"]
        for pair in report["paired"][comparison.PAPER].values():
            if pair and pair.get("mean") is not None:
                pair.update(mean=0.0, ci95=[0.0, 0.0])

    edited(path, alike)
    page = open_page("results", run=RUN)
    assert "the two are one method" in text(page) and "What the semantics add" in text(page)

    edited(path, lambda report: [report["paired"].pop(m) for m in ("gelda-uncond", "gelda-shuffled")])
    assert "What the semantics add" not in text(open_page("results", run=RUN))
