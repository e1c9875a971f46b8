"""How is a run told? Records in; terminal tables, figures, data frames and files out. Nothing here simulates."""
