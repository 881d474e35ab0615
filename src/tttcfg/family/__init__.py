"""What a configuration family is: root model, versions, migrations, extensions, plug-ins.

The folders below it in `docs/architecture.md` may import it. It knows one family by name, which an
extension is of unless it names another.
"""
