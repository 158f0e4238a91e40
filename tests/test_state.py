"""The view in the session: what a browser says that has not drawn the last change yet undoes nothing."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from app import state

    state.begin("page")
    state.bind("panel", "selection", ["selection", "neighbours", "edit"])
    state.bind("point", "")
    st.segmented_control("Panel", ["selection", "neighbours", "edit"], key=state.key("panel"), required=True)
    st.button("Edit", on_click=state.put, args=("panel", "edit"))
    for name in "ab":
        st.button(name, on_click=state.put, args=("point", name))
    st.markdown(f"{state.value('panel')} {state.value('point')} {sorted(st.session_state['_asked'])}")
    state.publish()


def said(at: AppTest) -> str:
    assert not at.exception
    return at.markdown[0].value


def test_an_older_browser_does_not_take_back_what_a_click_has_set() -> None:
    at = AppTest.from_function(page).run()
    older = at._tree.get_widget_states()  # a timer's message that was on its way when the button was pressed
    at.button[0].click().run()
    assert said(at).startswith("edit")
    at._run(older)
    assert said(at).startswith("edit")
    at.segmented_control[0].set_value("selection").run()  # and the same value by hand counts
    assert said(at).startswith("selection")


def test_a_click_on_the_widget_that_is_about_to_be_replaced_counts() -> None:
    at = AppTest.from_function(page).run()
    at.segmented_control[0].set_value("neighbours")
    older = at._tree.get_widget_states()
    at = AppTest.from_function(page).run()
    at.button[0].click().run()
    at._run(older)
    assert said(at).startswith("neighbours")


def test_an_older_address_is_no_link() -> None:
    at = AppTest.from_function(page).run()
    at.button[1].click().run()
    addresses = [dict(at.query_params)]
    at.button[2].click().run()
    addresses.append(dict(at.query_params))
    assert addresses == [{"point": "a"}, {"point": "b"}]
    at.query_params = addresses[0]  # as a click sends it before the browser has been told the new one
    at.run()
    assert said(at) == "selection b []" and at.query_params == addresses[1]
    at.run()
    at.query_params = addresses[0]  # once the browser has been at the new one, it is a link
    at.run()
    assert said(at) == "selection a ['point']"


def test_a_link_counts_once_and_a_click_after_it_stays() -> None:
    at = AppTest.from_function(page)
    link = {"point": "b", "panel": "neighbours", "other": "x"}
    at.query_params = link
    at.run()
    assert said(at) == "neighbours b ['panel', 'point']" and "other" not in at.query_params
    at.query_params = link  # the page's own address has not come to the browser yet
    at.button[1].click().run()
    assert said(at) == "neighbours a []"


def test_one_press_of_a_component_is_acted_on_once() -> None:
    def script() -> None:
        import streamlit as st

        from app import state

        events = [("grid", 1.5), ("grid", 1.5), ("map", 1.5), ("grid", 1.6), ("grid", None), ("grid", None)]
        st.text(" ".join(str(state.fresh(name, {"press": press})) for name, press in events))

    (told,) = AppTest.from_function(script).run().text
    assert told.value == "True False True True True True"


def test_what_another_run_begins_with_is_no_choice() -> None:
    def script() -> None:
        import streamlit as st

        from app import state

        state.begin("page")
        state.bind("run", "a", ["a", "b"])
        st.selectbox("Run", ["a", "b"], key=state.key("run"))
        own = {"a": "50", "b": "20"}[state.value("run")]
        state.bind("steps", own, ["20", "50", "100"])
        st.segmented_control("Steps", ["20", "50", "100"], key="steps", required=True)
        state.publish()

    at = AppTest.from_function(script).run()
    at.selectbox[0].set_value("b").run()
    assert at.segmented_control[0].value == "20" and at.query_params == {"run": "b"}
    at.segmented_control[0].set_value("100").run()
    at.selectbox[0].set_value("a").run()
    assert at.segmented_control[0].value == "100", "what was chosen stays"
