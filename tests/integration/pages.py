"""Pages in a browser, watched for what they request and for errors."""


def watched(browser, width, height):
    """An empty page of this size, and lists of the addresses that it requests and of its scripts' errors."""
    page = browser.new_page(viewport={"width": width, "height": height})
    requested, errors = [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    return page, requested, errors


def until(page, expression, seconds=60):
    """Waits until an expression holds; Playwright's own way evaluates strings, which the pages' policy forbids."""
    for _ in range(20 * seconds):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{expression} does not come true")
