"""Entry point of the app: page configuration and navigation, nothing else."""

from pathlib import Path

import streamlit as st

from app.widgets import frame

ROOT = Path(__file__).resolve().parent.parent

st.set_page_config(page_title="GeLDA", layout="wide")
page = st.navigation(
    [
        st.Page(ROOT / "pages" / "home.py", title="Home", default=True),
        st.Page(ROOT / "pages" / "explore.py", title="Explore"),
        st.Page(ROOT / "pages" / "results.py", title="Results"),
    ],
    position="top",
)
frame()
page.run()
