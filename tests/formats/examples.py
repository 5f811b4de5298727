"""Invented records of every format, key for key as in its description, with the traps in them."""

from __future__ import annotations

from typing import Any

from medprm_hf.formats.visualprm import SYSTEM_PROMPT

_TURNS = [
    {"from": "system", "value": "Judge each step."},
    {"from": "human", "value": "### Question:\n<image>\nWhich side?\n\n### Solution Process:\nThe left angle."},
    {"from": "gpt", "value": "+"},
    {"from": "human", "value": "Final answer: Right"},
    {"from": "gpt", "value": "-"},
]
_CASE = {
    "case_type": "Radiology",
    "modality": "CT",
    "question": "Mass?",
    "options": ["Yes", "No"],
}
_STEP_HEAD = {
    "image": "images/d0.jpg",
    "dataset": "DemoVQA",
    "case_id": "demo_000000",
    **_CASE,
    "gold_index": 0,
    "gold_letter": "A",
    "solution_index": 1,
    "solution_expected_accuracy": 0.5,
    "solution_label": "+",
    "final_answer_index": 0,
    "final_answer_letter": "A",
    "final_answer_correct": True,
}
_SCORES = [
    {"expected_accuracy": 0.75, "label": "+", "rollout_success": 3, "rollout_total": 4},
    {"expected_accuracy": 0.5, "label": "+", "rollout_success": 2, "rollout_total": 4},
]
_TEXTS = [{"title": "Look", "text": "A nodule."}, {"title": "Say", "text": "So: yes."}]
_RESULT = {
    "dataset": "DemoVQA",
    "input_file": "demo_for_app.json",
    "generated_at": "2026-01-02 03:04:05",
    "config": {"num_cases": 1, "num_solutions": 1, "rollout_k": 4, "provider": "mock", "model": "m",
               "paper_sampling_temperature": 0.7, "paper_sampling_top_p": 0.95},
    "cases": [
        {"id": "demo_000000", **_CASE, "gold": 0, "image_url": "images/d0.jpg", "solutions": [
            {"solution_index": 1, "sampling": {"temperature": 0.0, "top_p": 1.0, "deterministic": True},
             "steps": [_TEXTS[0]], "final_answer_index": 0, "final_answer_letter": "A",
             "step_results": [{"step": 1, **_TEXTS[0], "success": 3, "total": 4, "mc_score": 0.75, "label": "+"}],
             "solution_mc_score": 0.75, "solution_label": "+", "final_answer_correct": True}]}
    ],
}
_TREE = {
    "question": "Which side?", "answer": "Left", "image_path": "1.png", "partial_solution": [], "mc_value": 0.6,
    "children": [
        {"partial_solution": ["Look."], "mc_value": 0.75, "children": [
            {"partial_solution": ["Left."], "mc_value": 1.0, "children": []},
            {"partial_solution": ["Right."], "mc_value": 0.0, "children": []}]},
    ],
}

EXAMPLES: dict[str, list[Any] | dict[str, Any]] = {
    "visualprm-raw": [
        {"image": "cxr/7.png", "question": "<image>\nAnswer step by step ... Which side is the effusion on?",
         "question_orig": "Which side is the effusion on?", "answer": "Left",
         "response": "The left angle is blunted.\n\nFinal answer: Left", "steps_with_score": [
             {"step": "The left angle is blunted.", "score": 0.875, "num_mc_correct": 14, "num_mc_total": 16},
             {"step": "Final answer: Left", "score": 1.0, "num_mc_correct": 16, "num_mc_total": 16}],
         "num_mc_sequences": 16},
        {"id": 7, "image": ["a.png", "b.png"], "question": "<image>\n<image>\nSide?", "question_orig": "Side?",
         "answer": "Left", "response": "x\n\ny\n\nz", "steps_with_score": [
             {"step": "x", "score": 0.5, "num_mc_correct": 8, "num_mc_total": 16},
             {"step": "y", "score": 0.0, "num_mc_correct": 0, "num_mc_total": 16},
             {"step": "z", "score": 0.0, "num_mc_correct": 0, "num_mc_total": 0}],
         "num_mc_sequences": 16, "uid": "u-1"},
    ],
    "visualprm": [
        {"id": -1, "image": "cxr/7.png", "conversations": _TURNS},
        {"id": 3, "conversations": [
            {"from": "human", "value": "### Question:\nSide?\nOptions:\nA. L\nB. R\n\n### Solution Process:\nOnly."},
            {"from": "gpt", "value": "-"}]},
        {"id": -1, "image": "", "conversations": [
            {"from": "system", "value": SYSTEM_PROMPT},
            {"from": "human", "value": "### Question:\nSide?\n\n### Solution Process:\nLeft."},
            {"from": "gpt", "value": "="}]},
        {"id": 4, "image": "cxr/8.png", "conversations": [
            {"from": "system", "value": "Short prompt."},
            {"from": "human", "value": "<image>\nQuestion: Side?\nOptions:\nA. L\nB. R\nStep 1: Look."},
            {"from": "gpt", "value": "+"},
            {"from": "human", "value": "Step 2: So L."},
            {"from": "gpt", "value": "+"}]},
    ],
    "visualprocessbench": [
        {"image": ["images/a.png"], "question": "<image1> Which lobe?", "answer": "RUL",
         "response": {"steps": ["An opacity sits in the right upper zone.", "Hm.", "So: RUL"],
                      "process_correctness": [1, 0, -1]},
         "policy_model": "gpt-4o", "data_source": "MMMU"},
    ],
    "medprm": [
        {"question_id": "q1", "data_source": "med_qa", "question": "Best next step?",
         "options": ["CT", "MRI", "Observe", "Biopsy"], "correct_answer": "B", "related_docs": ["Guideline text"],
         "solutions": [
             {"solution": "Step 1: Young patient.\nStep 2: the answer is (B)",
              "prm_processed_solution": "Step 1: Young patient. ки Step 2: the answer is (B) ки",
              "orm_processed_solution": "Step 1: Young patient. Step 2: the answer is (B) ки",
              "answer": "B", "score": 1, "prm_gemini_label": [1, 1], "prm_llama_label": [1, 1],
              "prm_soft_label": [0.75, 1.0], "prm_hard_label": [1, 1], "orm_label": 1},
             {"solution": "Let me think.\n\n## Step 1: Old patient.\nIndeed.\n## Step 3: (A)",
              "prm_processed_solution": "Let me think.  Step 1: Old patient. Indeed. ки Step 3: (A) ки",
              "orm_processed_solution": "Let me think.  ## Step 1: Old patient. Indeed. ## Step 3: (A) ки",
              "answer": "A", "score": "None", "prm_soft_label": [0.25, 0.0], "prm_hard_label": [0, 0],
              "orm_label": [0]},
             {"solution": "It is A", "prm_processed_solution": "It is A ки", "orm_processed_solution": "It is A ки",
              "answer": "A", "score": 0, "prm_gemini_label": [0]}]},
    ],
    "vmp-result": _RESULT,
    "vmp-solutions": [
        {"id": "DemoVQA::demo_000000::solution_1", **_STEP_HEAD, "steps": [
            {"step_index": 1, **_TEXTS[0], **_SCORES[0]}, {"step_index": 2, **_TEXTS[1], **_SCORES[1]}]},
    ],
    "steps-jsonl": [
        {"id": "DemoVQA::demo_000000::solution_1::step_1", **_STEP_HEAD, "prefix_steps": [],
         "current_step": {"step_index": 1, **_TEXTS[0]}, **_SCORES[0]},
        {"id": "DemoVQA::demo_000000::solution_1::step_2", **_STEP_HEAD,
         "prefix_steps": [{"step_index": 1, **_TEXTS[0], "expected_accuracy": 0.75, "label": "+"}],
         "current_step": {"step_index": 2, **_TEXTS[1]}, **_SCORES[1]},
    ],
    "steps-json": {
        "meta": {"dataset": "DemoVQA", "input_file": "demo_for_app.json", "generated_at": "2026-01-02 03:04:05",
                 "config": {"rollout_k": 4}, "case_index": 0, "case_id": "demo_000000", "question": "Mass?",
                 "num_solutions": 1, "num_training_rows": 1},
        "rows": [
            {"dataset": "DemoVQA", "source_result_file": "demo_for_app.json", "case_id": "demo_000000",
             "case_type": "Radiology", "modality": "CT", "image_url": "images/d0.jpg", "question": "Mass?",
             "options": ["Yes", "No"], "gold_index": 0, "gold_letter": "A", "solution_index": 1,
             "sampling": {"temperature": 0.0, "top_p": 1.0, "deterministic": True}, "final_answer_index": 0,
             "final_answer_letter": "A", "final_answer_correct": True, "solution_mc_score": 0.75,
             "solution_label": "+", "step_id": 1, "prefix_steps": [], "current_step": _TEXTS[0], "label": "+",
             "mc_score": 0.75, "rollout_success": 3, "rollout_total": 4}],
    },
    "question-json": [
        {"question_id": "q1", "data_source": "demo", "modality": "radiology", "difficulty": "easy",
         "question": "Which side?", "image_path": "1.png", "image_embedding": [0.5, -0.25],
         "options": ["Left", "Right"], "correct_answer": "A", "related_docs": ["A passage."],
         "related_images": [{"image_path": "9.png", "diagnosis": "effusion", "similarity": 0.5}],
         "solutions": [
             {"solution": "Step 1: Look.\nStep 2: Left.", "prm_processed_solution": "Step 1: Look. ки Step 2: Left. ки",
              "answer": "A", "score": 1, "gemini_labels": [1, 0], "gemini_confidence": ["high", "low"],
              "monte_carlo_labels": [1, None], "mc_scores": [0.75, None],
              "expert_review": {"reviewed": True, "expert_label": [None, 1], "feedback": "Fine."}}]},
    ],
    "case-json": [
        {"case_id": "c1", "modality": "chest_xray",
         "metadata": {"source": "demo", "difficulty": "hard", "specialty": "radiology", "requires_specialist": True,
                      "irb_approved": True, "phi_removed": True},
         "clinical_context": {"age_group": "adult", "sex": "F", "symptoms": ["cough"], "history": [],
                              "vitals": {"hr": 80}},
         "image": {"path": "1.png", "view": "PA", "quality": "good"}, "question": "Which side?",
         "gold_standard": {"findings": ["effusion"], "diagnosis": "Left", "icd10": "J90", "confidence": 0.9},
         "solution_steps": [
             {"step_id": 0, "category": "observation", "content": "The left angle is blunted.", "label": "correct",
              "confidence": 0.9, "annotation_method": "rag_mc_consensus", "rag_label": "+", "mc_score": 0.875,
              "medical_evidence": [{"source": "book", "quote": "…", "relevance": 0.5}]},
             {"step_id": 1, "category": "diagnosis", "content": "Right.", "label": "incorrect", "confidence": 0.75,
              "annotation_method": "expert_verified", "rag_label": "-", "mc_score": 0.0, "expert_id": "e1"},
             {"step_id": 2, "category": "analysis", "content": "Perhaps.", "label": "uncertain", "confidence": 0.5,
              "annotation_method": "rag_mc_consensus", "rag_label": None, "mc_score": None}],
         "annotation_metadata": {"annotation_date": "2026-01-01", "rag_model": "j", "mc_model": "m", "mc_samples": 16,
                                 "expert_verified_steps": [1], "primary_annotator": "a", "expert_reviewer": "e1",
                                 "total_steps": 3, "confident_steps": 2, "uncertain_steps": 1}},
    ],
    "stepwise": [
        {"prompt": "Which side is the effusion on?",
         "completions": ["The left angle is blunted.", "So the answer is right."], "labels": [True, False]},
        {"prompt": "Side?", "completions": ["Left."], "labels": [True], "images": ["1.png"]},
        {"prompt": "Side?", "completions": ["Left.", "No."], "labels": [1, 0]},
        {"completions": ["Left."], "prompt": "Side?", "labels": [False], "id": 3},
    ],
    "preference": [
        {"prompt": "Which side?", "chosen": "Step 1: Look.\nStep 2: Left.", "rejected": "Step 1: Right."},
        {"prompt": [{"role": "user", "content": "Side?"}], "chosen": [{"role": "assistant", "content": "Left."}],
         "rejected": [{"role": "assistant", "content": "Right."}]},
    ],
    "prm800k": [
        {"labeler": "u1", "timestamp": "2026-01-01T00:00:00", "generation": None,
         "is_quality_control_question": False, "is_initial_screening_question": False,
         "question": {"problem": "Mass?", "ground_truth_answer": "Yes"},
         "label": {"steps": [
             {"completions": [{"text": "A nodule.", "rating": 1, "flagged": False}], "human_completion": None,
              "chosen_completion": 0},
             {"completions": [{"text": "Bad.", "rating": -1, "flagged": False}, {"text": "Hm.", "rating": 0,
              "flagged": None}], "human_completion": {"text": "Better.", "rating": None, "source": "human",
              "flagged": False, "corrected_rating": None}, "chosen_completion": None},
             {"completions": None, "human_completion": None, "chosen_completion": None}],
             "total_time": 9000, "finish_reason": "give_up"}},
    ],
    "math-shepherd": [
        {"input": "2+2? Step 1: 2+2=4. ки\nStep 2: The answer is: 5 ки",
         "label": "2+2? Step 1: 2+2=4. +\nStep 2: The answer is: 5 -", "task": "Demo"},
        {"question": "2+2?", "process": "Step 1: 4. ки\nStep 2: 5 ки", "labels": [1, 0]},
    ],
    "mm-prm": [
        {"id": "q1", "image": "1.png", "conversations": [
            {"from": "human", "value": "Question: Which side?\nProcess: Look.<prm>\n\nLeft.<prm>"},
            {"from": "gpt", "value": [0.75, 0.0]}]},
    ],
}

SHAPES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "paths": ({"shape": "paths"}, [{"question": "Which side?", "answer": "Left", "image_path": "1.png",
              "process": "Look.<prm>\n\nLeft.<prm>", "labels": [0.75, 0.0]}]),
    "tree": ({"shape": "tree"}, [_TREE]),
}
"""Further shapes of mm-prm: options and records."""

READ_ONLY: dict[str, list[Any] | dict[str, Any]] = {
    "vmp-app": [
        {"id": "vqarad_000001", **_CASE, "gold": 0, "image_url": "i.jpg", "sol_num": 1, "final_label": "+",
         "steps": [{"step": 1, **_TEXTS[0], "label": "+", "mc_score": 0.75}]},
    ],
    "vmp-browser": {"samples": [
        {"id": "s1", "dataset": "DemoVQA", **_CASE, "gold": 0, "gold_letter": "A", "image_url": "i.jpg", "sol_num": 2,
         "steps": [{"step": 1, **_TEXTS[0], "mc_score": 0.75, "label": "+"}], "final_label": "+",
         "conversations": [], "qa_status": "approved"}]},
    "math-aps": [
        {"question": "Find c.", "final_answer": "3", "reasoning_steps": {
            "text": "Find c.", "mc_value": 0.9, "children": [
                {"text": "Hence 3.", "mc_value": 1.0, "children": []},
                {"text": "Let c=2.", "mc_value": 0.5, "children": [
                    {"text": "So 2.", "mc_value": 0.0, "children": []}]}]},
         "question_id": "7"},
    ],
    "processbench": [
        {"id": "g-0", "generator": "m", "problem": "2+2?", "steps": ["a", "b", "c"], "final_answer_correct": False,
         "label": 1},
    ],
    "prmbench": [
        {"original_question": "2+2?", "modified_question": "2+2?", "original_process": ["a", "b", "c"],
         "modified_process": ["a", "x", "c"], "modified_steps": [2], "error_steps": [2], "reason": "r", "idx": "i1",
         "question": "2+2?", "classification": "confidence"},
    ],
}
