"""The GraphiQL page and the files that it loads from this host, as npm built them into dist/."""

import os
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE = Path(__file__).parent
DIST = HERE / "dist"
# Monaco makes its workers from text and its styles as it goes; all else is a file of this host.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
YEAR_S = 365 * 24 * 3600


class HashedFiles(StaticFiles):
    """Files whose names change with their content, so that a browser never has to ask again."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = f"public, max-age={YEAR_S}, immutable"
        return response


def page() -> str:
    """The HTML of the page. Raises RuntimeError when it has not been built."""
    index = DIST / "index.html"
    # The build writes this file last, so the assets are there when it is.
    if not index.is_file():
        raise RuntimeError(f"GraphiQL is not built. Run: cd {HERE} && npm ci && npm run build")
    return index.read_text(encoding="utf-8")


def assets() -> StaticFiles:
    """What the page loads, to be mounted at /graphiql. Raises RuntimeError when it has not been built."""
    page()
    return HashedFiles(directory=DIST / "assets")
