"""What a field is: roles, declarations, paths, JSON Schema fragments, validation.

Every folder that knows of settings may import it; it knows no family and no document.
"""
