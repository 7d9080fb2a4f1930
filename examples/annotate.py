# vcr-record -- python3 annotate.py
import ctypes, json

said = getattr(ctypes.CDLL(None), "vcr_annotate", None)  # None: nobody records


def annotate(**what):
    return said(json.dumps(what).encode()) if said else -1


annotate(begin="plan", input={"goal": "tidy up"})
annotate(node="look", output={"files": 3})
annotate(end="plan", output={"steps": 1}, tags=["example"])
