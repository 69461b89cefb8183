"""What people look at: figures, tables, pages, traces.

Read from results and their folders; nothing below imports this package.
"""
