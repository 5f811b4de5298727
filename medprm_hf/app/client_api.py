"""The named endpoints that `gradio_client` sees: /score and /best_of_n.

    from gradio_client import Client
    Client("http://127.0.0.1:7860").predict("Which side?", ["Left angle blunted.", "Answer: A"], api_name="/score")

This module is imported only where the page is built; its annotations are what Gradio derives the API from.
"""

from typing import Any

import gradio as gr

from medprm_hf.app.rates import user_of
from medprm_hf.app.routing import Refusal, address_of
from medprm_hf.app.score_api import ScoreRoutes
from medprm_hf.errors import MedPRMError


def add_endpoints(routes: ScoreRoutes) -> None:
    """Adds the endpoints to the Blocks that are being built."""

    async def asked(body: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        try:
            return await routes.scored(body, user_of(dict(request.headers), address_of(request)))
        except (MedPRMError, Refusal) as error:
            raise gr.Error(str(error), print_exception=False) from error

    async def score(
        question: str,
        steps: list[str],
        options: list[str] | None = None,
        image: str | None = None,
        context: str | None = None,
        request: gr.Request = None,
    ) -> dict[str, Any]:
        """Score every step of one solution: P(step is right), 0 to 1. Research software, not for clinical use.

        Args:
            question: The question that the solution answers.
            steps: Its steps in order, at most 256.
            options: Answer options in order; leave out for an open question.
            image: The image as base64 or data URL (PNG, JPEG, DICOM, NIfTI; 50 MB at most); nothing is kept.
            context: What is known of the patient, without identifiers.

        Returns:
            {"steps": [{"text", "score", "level", "label", "reason"}], "aggregates": {"mean", "min", …}, "score",
            "falls_at": number of the first step (from 0) below the model's threshold or null, "answer"}
        """
        body = {"question": question, "solutions": [{"steps": steps}], "options": options, "image": image}
        told = await asked({**body, "context": context}, request)
        return {**told["solutions"][0], "model": told["model"], "threshold": told["threshold"]}

    async def best_of_n(
        question: str,
        solutions: list[str],
        options: list[str] | None = None,
        image: str | None = None,
        request: gr.Request = None,
    ) -> dict[str, Any]:
        """Score up to 8 solutions of one question and pick the best. Research software, not for clinical use.

        Args:
            question: The question.
            solutions: Texts; steps are `Step n:` lines, titled JSON steps, or blocks between blank lines.
            options: Answer options in order; leave out for an open question.
            image: The image as base64 or data URL; nothing is kept.

        Returns:
            {"solutions": as of /score, "best": {aggregate: number of the best solution from 0}, "majority": answer}
        """
        return await asked({"question": question, "solutions": solutions, "options": options, "image": image}, request)

    gr.api(score, api_name="score")
    gr.api(best_of_n, api_name="best_of_n")
