"""What a configuration family is: root model, versions, migrations, extensions, plug-ins.

Whatever handles documents may import it; it knows no family by name.
"""
