"""The pages, a module per room of the portal: each asks the API and fills a template."""
