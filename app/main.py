"""Entry point of the app: page configuration and navigation, nothing else."""

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # hosting starts this file from a checkout that is not installed
    sys.path.insert(0, str(ROOT))

from app.widgets import frame  # noqa: E402

st.set_page_config(page_title="GeLDA", layout="wide")
page = st.navigation(
    [
        st.Page(ROOT / "pages" / "home.py", title="Home", default=True),
        st.Page(ROOT / "pages" / "data.py", title="Data"),
        st.Page(ROOT / "pages" / "latents.py", title="Latents"),
        st.Page(ROOT / "pages" / "generate.py", title="Generate"),
        st.Page(ROOT / "pages" / "explore.py", title="Explore"),
        st.Page(ROOT / "pages" / "results.py", title="Results"),
        st.Page(ROOT / "pages" / "ablate.py", title="Ablate"),
        st.Page(ROOT / "pages" / "learn.py", title="Learn"),
    ],
    position="top",
)
frame()
page.run()
