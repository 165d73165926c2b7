"""page"""
def page() -> str:
    return ""
