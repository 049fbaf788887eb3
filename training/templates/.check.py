import re, sys, yaml, collections, pathlib
here = pathlib.Path(__file__).parent
kinds = yaml.safe_load((here / "kinds.yaml").read_text())
T = "gender age socioeconomic residence disability religion ethnicity political nationality lgbtq caste profession".split()
for code in sys.argv[1:]:
    d = yaml.safe_load((here / f"{code}.yaml").read_text()); bad = []; n = 0; seen = {}
    slots = d.get("slots") or {}; terms = d["terms"]
    for k in ("groups", "slurs", "reclaimed"):
        for t in terms[k]:
            if t.get("target") not in T: bad.append(f"{k}: target {t}")
    for k in terms:
        for t in terms[k]:
            for f, v in t.items():
                if not isinstance(v, str): bad.append(f"{k}: {f}={v!r} is not a string in {t}")
                if f in slots: bad.append(f"{f} is a slot and a form")
    for s, v in slots.items():
        if not isinstance(v, list) or not all(isinstance(x, str) for x in v): bad.append(f"slot {s} is not a list of strings (quote numbers, yes/no)")
    for k in kinds:
        if len(d["frames"].get(k, [])) < 5: bad.append(f"{k}: only {len(d['frames'].get(k, []))} frames")
    for k, fr in d["frames"].items():
        if k not in kinds: bad.append(f"unknown kind {k}"); continue
        pool = terms.get(kinds[k]["terms"], []) if kinds[k]["terms"] != "none" else []
        for f in fr:
            t = f if isinstance(f, str) else f.get("text") if isinstance(f, dict) else None
            if not isinstance(t, str): bad.append(f"{k}: not a string {f!r}"); continue
            n += 1
            if t in seen: bad.append(f"{k}: twice {t!r} (also {seen[t]})")
            seen[t] = k
            ks = set(re.findall(r"\{(\w+)\}", t)) - set(slots)
            if re.sub(r"\{\w+\}", "", t).count("{"): bad.append(f"{k}: brace {t!r}")
            only = f.get("only") if isinstance(f, dict) else None
            fit = [x for x in pool if ks <= set(x) and (not only or x.get("target") in only)]
            if ks and not fit: bad.append(f"{k}: no term has {ks} in {t!r}")
            if not ks and pool and k not in ("reclaimed",) : pass
    g = [t["target"] for t in terms["groups"]]
    print(code, n, "frames", len(g), "groups", len(set(g)), "targets", len(terms["unprotected"]), "unprotected", len(terms["slurs"]), "slurs")
    hate = [f if isinstance(f, str) else f["text"] for k, fr in d["frames"].items() if k in kinds and kinds[k]["hate"] for f in fr]
    rest = [f if isinstance(f, str) else f["text"] for k, fr in d["frames"].items() if k in kinds and not kinds[k]["hate"] for f in fr]
    for name, r in dict(quotes='["“”«»„「」『』‘]', question="[?？؟]", exclamation="[!！]", digits=r"\d", two_sentences=r"[.!?。！？؟۔।]\s*\S", emoji="[\U0001F300-\U0001FAFF]").items():
        print("  share with", name, "hate %.2f other %.2f" % tuple(sum(bool(re.search(r, t)) for t in s) / len(s) for s in (hate, rest)))
    print("  mean length hate %.0f other %.0f" % tuple(sum(map(len, s)) / len(s) for s in (hate, rest)))
    for b in bad[:40]: print("  !!", b)
