DROP TABLE edit_budgets;
DROP TABLE api_budgets;
