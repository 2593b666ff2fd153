"""Drives the page of the admin server as a person does.

It says `watching` once the page of handlers is open, and ends with an error as soon as something is not as it should be.
"""

import os
import sys

from playwright.sync_api import expect, sync_playwright

SITE = f"http://{sys.argv[1]}"
PICTURES = os.environ.get("PLOOMBY_TEST_SCREENSHOTS")
CHROMIUM = os.environ.get("PLOOMBY_TEST_CHROMIUM", "/usr/bin/chromium")


def login(browser, token, **more):
    context = browser.new_context(http_credentials={"username": "ada", "password": token}, **more)
    context.set_default_timeout(15_000)
    page = context.new_page()
    # a script that the policy keeps from running says so here
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    return page


def is_harmless(page):
    """Nothing that somebody sent has become more than text."""
    assert "owned" not in page.title(), page.title()
    assert page.locator("main script, main i, main img").count() == 0
    text = page.inner_text("body")
    assert "\x1b" not in text and "\u202e" not in text, text[:500]


def fits(page):
    """Nobody has to scroll to the side, and the keyboard reaches the content."""
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, f"{page.url}: {width} px too wide"
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"
        ".filter(field => !field.labels.length).map(field => field.name)"
    )
    assert unnamed == [], unnamed
    assert page.locator("h1").count() == 1


def picture(page, name):
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png")


def looks(browser, pages):
    for scheme in ("light", "dark"):
        for width in (390, 1440):
            page = login(browser, "the token of admins", color_scheme=scheme, viewport={"width": width, "height": 800})
            for name, path in pages.items():
                page.goto(f"{SITE}/{path}")
                fits(page)
                is_harmless(page)
                picture(page, f"{name}-{scheme}-{width}")
            page.context.close()


def watches(browser):
    page = login(browser, "the token of admins")
    page.goto(f"{SITE}/handlers")
    expect(page.locator("#live")).to_have_text("live")
    before = int(page.inner_text("#h0-done"))
    print("watching", flush=True)
    expect(page.locator("#h0-done")).to_have_text(str(before + 5))
    page.context.close()


def pauses(page):
    page.goto(f"{SITE}/")
    assert page.url == f"{SITE}/queues", page.url
    # by keyboard alone: the button that is named after the queue
    page.get_by_role("button", name="Pause billing").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#q0-state")).to_contain_text("paused by ada")
    page.get_by_role("button", name="Resume billing").click()
    expect(page.locator("#q0-state")).to_have_text("1 of 1 consuming")


def replays_a_group(page):
    page.goto(f"{SITE}/letters?queue=billing")
    is_harmless(page)
    page.get_by_role("link", name="Replay the bank is closed for order #").click()
    expect(page.locator("main")).to_contain_text("3 letters")
    page.get_by_label("First only so many").fill("0")
    page.get_by_role("button", name="Replay").click()
    # the news come by themselves
    expect(page.locator("#progress")).to_have_text("3 done")


def edits(page):
    page.goto(f"{SITE}/letters?queue=billing&error=costs+nothing")
    page.locator("th a.mono").click()
    is_harmless(page)
    page.get_by_role("link", name="Edit…").click()
    page.get_by_label("Body").fill('{"id": 101}')
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("missing field `cents`")
    page.get_by_label("Body").fill('{"id": 101, "cents": 100}')
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#progress")).to_have_text("1 done")


def discards(page):
    page.goto(f"{SITE}/letters?queue=billing&by=key")
    row = page.get_by_role("row").filter(has_text="document.title").first
    row.get_by_role("link").first.click()
    page.get_by_role("link", name="Discard these…").click()
    is_harmless(page)
    page.get_by_role("button", name="Discard for good").click()
    expect(page.locator("#progress")).to_have_text("1 done")


def sees_a_large_body(page):
    page.goto(f"{SITE}/letters?queue=billing&key=large")
    page.locator("th a.mono").click()
    expect(page.locator("main")).to_contain_text("10.0 MiB")
    assert len(page.inner_text("pre")) <= 20_001


def a_reader_may_do_nothing(browser):
    page = login(browser, "the token of readers")
    page.goto(f"{SITE}/queues")
    assert page.locator("main button").count() == 0
    page.goto(f"{SITE}/letters?queue=billing")
    assert page.get_by_role("link", name="Replay").count() == 0
    page.locator("th a.mono").first.click()
    expect(page.locator("main")).to_contain_text("Headers and body are for operators.")
    for path in ("replay", "discard", "edit"):
        answer = page.goto(f"{SITE}/{path}?queue=billing")
        assert answer.status == 403, f"{path}: {answer.status}"
        posted = page.request.post(f"{SITE}/{path}", form={"queue": "billing"}, headers={"origin": SITE})
        assert posted.status == 403, f"{path}: {posted.status}"
    page.context.close()


def works_without_javascript(browser):
    page = login(browser, "the token of admins", java_script_enabled=False)
    page.goto(f"{SITE}/queues")
    page.get_by_role("button", name="Pause billing").click()
    expect(page.locator("#q0-state")).to_contain_text("paused by ada")
    page.get_by_role("button", name="Resume billing").click()
    page.goto(f"{SITE}/letters?queue=billing")
    page.get_by_role("link", name="Replay all…").click()
    expect(page.get_by_role("button", name="Replay")).to_be_visible()
    page.context.close()


troubles = []
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    watches(browser)
    looks(
        browser,
        {
            "queues": "queues",
            "handlers": "handlers",
            "letters": "letters?queue=billing",
            "replay": "replay?queue=billing",
            "acts": "acts",
        },
    )
    page = login(browser, "the token of admins")
    pauses(page)
    replays_a_group(page)
    edits(page)
    assert len(troubles) == 1 and "422" in troubles[0], troubles
    discards(page)
    sees_a_large_body(page)
    works_without_javascript(browser)
    assert len(troubles) == 1, troubles
    a_reader_may_do_nothing(browser)
    browser.close()
