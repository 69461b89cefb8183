"""What people look at: figures, tables, pages and traces, made from results and their folders."""
